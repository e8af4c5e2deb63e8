from i2i_dds.cli.drag import main

if __name__ == "__main__":
    main()
