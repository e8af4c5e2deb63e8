from i2i_dds.cli.results import main

if __name__ == "__main__":
    main()
