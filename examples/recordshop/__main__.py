"""`python -m recordshop`: Ctrl-C ends it quietly at any moment, even while the libraries load."""

import sys

try:
    from recordshop.run import main

    code = main()
except KeyboardInterrupt:
    print()
    code = 130
sys.exit(code)
