from i2i_dds.cli.evaluate import main

if __name__ == "__main__":
    main()
