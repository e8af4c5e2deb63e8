from i2i_dds.cli.benchmark import main

if __name__ == "__main__":
    main()
