"""moto's server in its own process: `python -m penstock_tools.aws.moto_process` runs until its standard input ends."""

import logging
import os
import sys

from moto.core.config import default_user_config
from moto.moto_server.threaded_moto_server import ThreadedMotoServer


def main() -> None:
    """Serve on a free port and print the port on standard output."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each request
    default_user_config["stepfunctions"]["execute_state_machine"] = True  # else an execution is only said to succeed
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    os.environ["MOTO_PORT"] = str(port)  # where a state machine calls the services that it uses
    print(f"READY {port}", flush=True)
    sys.stdin.buffer.read()
    server.stop()


if __name__ == "__main__":
    main()
