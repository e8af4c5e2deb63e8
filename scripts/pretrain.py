from i2i_dds.cli.pretrain import main

if __name__ == "__main__":
    main()
