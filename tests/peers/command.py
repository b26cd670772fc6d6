# SPDX-License-Identifier: Apache-2.0
"""Running the program."""
import subprocess
import sys


def run(*arguments):
    """Its standard output. Ends with all that it said where it fails."""
    result = subprocess.run(arguments, capture_output=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\n{result.stdout.decode(errors='replace')}"
                 f"{result.stderr.decode(errors='replace')}")
    return result.stdout
