from i2i_dds.cli.bench import main

if __name__ == "__main__":
    main()
