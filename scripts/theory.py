from i2i_dds.cli.theory import main

if __name__ == "__main__":
    main()
