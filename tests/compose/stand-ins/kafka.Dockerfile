# Stands in for apache/kafka: the same server from the native stack's jars, configured by the same variables.
FROM stand-in-java
COPY kafka/lib /opt/kafka/lib
COPY --from=scripts kafka.py /opt/kafka/start.py
RUN install -d -o server /var/lib/kafka/data /opt/kafka/config
USER server
ENTRYPOINT ["python3", "/opt/kafka/start.py"]
