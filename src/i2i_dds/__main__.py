"""``python -m i2i_dds <command>`` is ``i2i <command>``."""

from i2i_dds.cli.main import main

if __name__ == "__main__":
    main()
