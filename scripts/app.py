from i2i_dds.cli.page import main

if __name__ == "__main__":
    main()
