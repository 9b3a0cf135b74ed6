"""Tasks, data and training. torch lives only here.

    task        what a user implements: a model, data, perhaps a loss
    digits, idx the tasks that come with gossipd
    partition   one data set -> one shard per node, for demonstrations and experiments
    split       the local examples that judge models and are never trained on
    batches     the endless, reproducible stream of mini-batches
    parameters  a module's parameters and buffers as one flat vector, without copies
    genesis     an initial model that is the same bits on every machine
    learner     all of it behind `gossipd.runtime.ports.Learner`
    build       configuration -> learner
    compute     what the compute worker's thread does to itself before it starts
    lazily      what `import torch` need not run

Importing this package loads nothing; `task`, `learner` and what builds on them load torch.
"""

from gossipd.learning.lazily import put_off

put_off()
