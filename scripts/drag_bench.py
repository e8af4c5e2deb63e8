from i2i_dds.cli.drag_bench import main

if __name__ == "__main__":
    main()
