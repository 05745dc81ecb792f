"""RabbitMQ: connections that come back, confirmed publishing in windows, consuming with jobs in threads, topology.

Each file has one idea, and nothing connects at import:

    connection  a connection in a thread of its own; it reconnects, and its heartbeats never wait for work
    publisher   persistent, mandatory, confirmed in windows
    consumer    a queue's messages as jobs in threads; retried with backoff, then dead letters
    topology    exchanges, queues and bindings as data, declared idempotently
    layout      the shapes that recur: a work queue with its delay queues, a service's dead letters
"""
