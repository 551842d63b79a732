"""The checks: each takes a row of a table, compares ours with torch's, and raises AssertionError.

Where torch's own layer does not do what is asked, they raise TorchRefuses. Those that compare
numbers return the largest differences that they saw.
"""

from .base import Errors as Errors
from .base import TorchRefuses as TorchRefuses
from .base import ask as ask
from .base import enterable as enterable
from .base import output as output
from .base import run as run
from .base import tensors as tensors
from .base import twin_of as twin_of
from .compare import LAST as LAST
from .compare import STRIDED as STRIDED
from .compare import SUMMED as SUMMED
from .compare import Way as Way
from .compare import channels_last as channels_last
from .compare import compare as compare
from .compare import gives_away as gives_away
from .compare import rank as rank
from .derivatives import derivative as derivative
from .derivatives import second_derivative as second_derivative
from .distance import distance as distance
from .distance import spacing as spacing
from .handwritten import BORROWED as BORROWED
from .handwritten import ELEMENTARY as ELEMENTARY
from .handwritten import Borrowings as Borrowings
from .handwritten import Recorder as Recorder
from .handwritten import handwritten as handwritten
from .handwritten import operations as operations
from .rule_state import copies_of_rule as copies_of_rule
from .rule_state import handover as handover
from .rule_state import late_velocity as late_velocity
from .rule_state import old_state as old_state
from .rule_state import round_trip as round_trip
from .rule_use import SCHEDULES as SCHEDULES
from .rule_use import compiles_rule as compiles_rule
from .rule_use import handwritten_rule as handwritten_rule
from .rule_use import scaled as scaled
from .rule_use import scheduled as scheduled
from .rule_use import sparse as sparse
from .rules import APART as APART
from .rules import UNITS as UNITS
from .rules import alike as alike
from .rules import captured as captured
from .rules import derivative_of_rule as derivative_of_rule
from .rules import differentiates as differentiates
from .rules import forms as forms
from .rules import gradient as gradient
from .rules import group_form as group_form
from .rules import seen as seen
from .rules import trajectory as trajectory
from .rules import walk as walk
from .state import copies as copies
from .state import exchange as exchange
from .state import factory as factory
from .state import meta as meta
from .state import refuses as refuses
from .state import same_signature as same_signature
from .state import same_start as same_start
from .state import signature_of as signature_of
from .state import state as state
from .transforms import compiles as compiles
from .transforms import exports as exports
from .transforms import functional_call as functional_call
from .transforms import vmap as vmap
