from i2i_dds.cli.analyse import main

if __name__ == "__main__":
    main()
