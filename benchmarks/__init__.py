"""Measurements that anybody can repeat: each module but the shared ones below is one command.

    python -m benchmarks.NAME [--format json] [--quick] [--data DIR] [--output DIR]

    harness      what all of them share: options, bounds, tables, figures, the JSON envelope
    workload     data sets as tasks, dealt out to many nodes
    synchronous  training in lockstep on a graph, for the benchmarks about averaging
    course       what the ways of `rounds` are measured by, and the swarm that all of them get
    sampled      sampled rounds, the daemon's own code in virtual time
    baselines    FedAvg, D-PSGD and age-weighted gossip as plain loops
    few_of_many  serving models when few train in a round, against all

README.md has the last measured tables, bars.toml the bounds that they are held against.
"""
