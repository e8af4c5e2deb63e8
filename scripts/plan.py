from i2i_dds.cli.plan import main

if __name__ == "__main__":
    main()
