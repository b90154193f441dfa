# Stands in for Elastic's image: the same server from the jars of the native stack, without security, which they lack.
FROM stand-in-java
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends curl >/dev/null && rm -rf /var/lib/apt/lists/*
COPY elasticsearch /usr/share/elasticsearch
COPY --from=scripts elasticsearch.py /usr/share/elasticsearch/start.py
RUN install -d -o server /usr/share/elasticsearch/data /usr/share/elasticsearch/logs /usr/share/elasticsearch/config \
    /usr/share/elasticsearch/plugins
USER server
ENTRYPOINT ["python3", "/usr/share/elasticsearch/start.py"]
