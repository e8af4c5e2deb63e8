from i2i_dds.cli.lora import main

if __name__ == "__main__":
    main()
