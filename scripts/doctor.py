from i2i_dds.cli.doctor import main

if __name__ == "__main__":
    main()
