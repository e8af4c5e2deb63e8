from i2i_dds.cli.export import main

if __name__ == "__main__":
    main()
