"""One file a protocol; `measure/protocol.py` names them all."""
