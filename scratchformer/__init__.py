"""A transformer small enough to see, trained from scratch in NumPy with hand-written backprop."""

from pathlib import Path

# In a checkout figures/ and configs/ lie beside this folder; an installed wheel has them inside it.
CHECKOUT = Path(__file__).resolve().parent.parent
if (CHECKOUT / "setup.cfg").is_file() and (CHECKOUT / "figures").is_dir():
    __path__.append(str(CHECKOUT))
