"""A whole swarm in one process and in virtual time: the daemon's own code on ports made of data.

    loop       an asyncio event loop whose clock jumps; processes that can be killed
    clock      a node's two clocks, and how wrong they are
    network    links: latency, loss, partitions; who is deaf to whom
    connection the two ends of one connection and what is being asked over it
    traffic    bytes by node and kind of message
    transport  `network.interface.Transport` over these links
    store      `runtime.ports.Store` that outlives a crash; disks can be counted and interned
    compute    `runtime.ports.Compute` that charges virtual seconds for work
    stub       a learner that learns nothing: for runs that are about the protocol
    fuse       a crash at any effect
    log        everything that happened, as one hash
    node       one node through all its lives
    world      `Simulation`: what experiments and tests use

One seed decides everything: latencies, losses, who is drawn, which mini-batches. Nothing sleeps, no
thread is started, no socket opened. The core's own code runs unchanged: wire bytes are encoded,
signed, checked and parsed, models are encoded, decoded and averaged. Learning is handed in.
"""
