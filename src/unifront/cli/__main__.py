"""``python -m unifront.cli``."""

from unifront.cli import main

if __name__ == "__main__":
    main()
