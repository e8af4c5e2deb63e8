from i2i_dds.cli.make_random_sd import main

if __name__ == "__main__":
    main()
