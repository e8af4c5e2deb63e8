from i2i_dds.cli.make_shards import main

if __name__ == "__main__":
    main()
