"""Records about the model of the score: a change of the parameters in force.

It is a *change* like those of `ledger/records/membership.py`: named by the record's id, approved by
`member.approve`, never erased.
"""

from ledger.bureau.model import Model
from ledger.encoding import Hash, PlatformNumber, TimeMs, Value


class ModelActivate(Value, tag=56):
    """A member asks for another model. Signed by the member, which so approves it.

    `replaces`: the hash of the parameters that its proposer compared the model with, which must be
    those in force: whoever approves knows what is changed. Scales, domains and the rules' version
    stay.
    """

    platform: PlatformNumber
    at: TimeMs
    replaces: Hash
    model: Model
