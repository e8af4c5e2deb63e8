from i2i_dds.cli.contact_sheet import main

if __name__ == "__main__":
    main()
