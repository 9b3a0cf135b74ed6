"""What an aggregation consists of: heads by the model they came from, bases by lineage.

Ours, for islands that meet. Averaging an island's one trainer with everybody else's heads would
mark all its island's work as contained at a tenth of its weight; measured: eight rounds lost.

    heads trained from one model   -> one group, averaged by examples
    a base that no group contains  -> one side more, with its serving model when it is an island's
    of bases that contain another  -> only the one that contains, of equal ones the smallest hash
    every group and base           -> weighed by what only it has learnt
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gossipd.protocol.lineage import Lineage, Relation, compare, join, more_in
from gossipd.protocol.round_events import Group, Offered
from gossipd.protocol.trainer import Delivery
from gossipd.protocol.view import SwarmView
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import Update

ISLAND_SHARE = 0.25
