"""Prints the scalars that TensorBoard finds in a folder, as JSON: tag -> [[step, wall time, value], ...].

    python3 -m venv target/tensorboard && target/tensorboard/bin/pip install tensorboard
    ILM_PIPE_PYTHON=target/tensorboard/bin/python cargo test --release --lib -- --ignored python_tensorboard

Last run with tensorboard 2.21.0.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
scalars = {
    tag: [[event.step, event.wall_time, event.value] for event in events.Scalars(tag)]
    for tag in events.Tags()["scalars"]
}
print(json.dumps(scalars))
