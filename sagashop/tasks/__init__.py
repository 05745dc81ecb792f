"""Long work off the request path (F43): a task is accepted at once, done by a worker, and looked at meanwhile.

    tasks.submit(MakeInvoice(task_id=…, order_id=…), owner=…)    # web: the row and the message in one commit
    Relay(…).run(stopping)                                       # worker: from the outbox to RabbitMQ, confirmed
    Runner(…, {MakeInvoice: make_invoice}).handle                # worker: lease, run, result

The web request writes to Redis alone. A channel of work, say `orders.tasks`, is a stream in the service's own keys; its
relay publishes what stands there to the queue of the same name, and takes it out when the broker has it.

Delivery guarantee: a task is run at least once, and its reader sees one result. Whoever holds the lease on the task's
row writes it; what a worker has made that lost its lease is dropped (docs/decisions/0024).
"""
