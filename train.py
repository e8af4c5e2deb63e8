from i2i_dds.cli.train import main

if __name__ == "__main__":
    main()
