"""Jobs: work that a service does later, on Redis lists, high priority first, with the status of each job in a hash.

Delivery guarantee: a job is run at least once. One whose worker died is run again by another, one that fails is tried
again with growing distance, and one that fails at every attempt waits among the failed for the operator. A handler must
therefore be idempotent; e-mail is so by its Message-ID, which follows from the id of the job.

    queue.enqueue("letter", payload, priority="high", id="order-7.OrderRejected")     # sagashop.jobs.queue
    Effects(jobs=[Job(kind="letter", payload=…, id=…)])                               # within a commit
    JobWorker(Holder(queue, name), {"letter": send}, policy).step()                   # sagashop.jobs.worker
"""
