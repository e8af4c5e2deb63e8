from i2i_dds.cli.edit import main

if __name__ == "__main__":
    main()
