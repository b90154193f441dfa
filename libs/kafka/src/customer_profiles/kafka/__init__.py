"""Topics, exact range reads and transactional producers for Kafka.

* `config`: how to reach the brokers
* `admin`: create topics, read watermarks
* `reader`: read exact offset ranges and whole topics
* `identity`: whether the right cluster answers
* `producer`: publish columns in transactions, by one of three client libraries
* `dead_letters`: publish messages that break the contract
* `errors`: what can go wrong
"""
