from i2i_dds.cli.make_random_sd import main

main()
