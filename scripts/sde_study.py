from i2i_dds.cli.sde_study import main

if __name__ == "__main__":
    main()
