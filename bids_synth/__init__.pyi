from bids_synth.api import load as load
from bids_synth.api import score as score

__version__: str
