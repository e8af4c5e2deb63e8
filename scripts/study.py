from i2i_dds.cli.study import main

if __name__ == "__main__":
    main()
