"""Governance of customer data: where each number of a profile comes from.

* `explain`: the events behind each field of a profile; pure
* `customers`: reads everything that the lake has about one customer
* `render`: an explanation as text for people, and as JSON
"""
