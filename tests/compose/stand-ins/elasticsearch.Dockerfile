# Stands in for Elastic's image: the same server with security, from published jars.
FROM stand-in-java
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends curl >/dev/null && rm -rf /var/lib/apt/lists/*
COPY elasticsearch /usr/share/elasticsearch
# The native stack's own account would be in the way of Elastic's security.
RUN cd /usr/share/elasticsearch/modules/transport-netty4 && rm -f access.jar \
    && sed -i 's/^classname=.*/classname=org.elasticsearch.transport.netty4.Netty4Plugin/' plugin-descriptor.properties
COPY elasticsearch-security/modules /usr/share/elasticsearch/modules
COPY elasticsearch-security/lib /usr/share/elasticsearch/lib
COPY --from=scripts elasticsearch.py /usr/share/elasticsearch/start.py
RUN install -d -o server /usr/share/elasticsearch/data /usr/share/elasticsearch/logs /usr/share/elasticsearch/config \
    /usr/share/elasticsearch/plugins
USER server
ENTRYPOINT ["python3", "/usr/share/elasticsearch/start.py"]
