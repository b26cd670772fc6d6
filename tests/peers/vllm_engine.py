# SPDX-License-Identifier: Apache-2.0
"""One engine of vLLM on the CPU, for vllm_check.py: a job as JSON on stdin, its answer in a file.

  python tests/peers/vllm_engine.py ANSWER < JOB

The job has the arguments of vllm.LLM, `max_tokens`, and `prompts` or `questions` (for LLM.chat).
The answer has for each of them the greedy tokens, their text, why it ended, and what the engine's
own counters say of drafts. Texts come one after the other, so that counters are those of a text.
"""

import json
import os
import sys

# All in this process: each other one would load the library again.
os.environ.update(VLLM_TARGET_DEVICE="cpu", VLLM_ENABLE_V1_MULTIPROCESSING="0",
                  VLLM_NO_USAGE_STATS="1", HF_HUB_OFFLINE="1",
                  VLLM_LOGGING_LEVEL="WARNING")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

COUNTERS = {"passes": "vllm:spec_decode_num_drafts",
            "drafted": "vllm:spec_decode_num_draft_tokens",
            "accepted": "vllm:spec_decode_num_accepted_tokens"}


def counts(llm):
    values = {m.name: m.value for m in llm.get_metrics() if hasattr(m, "value")}
    return {ours: int(values.get(theirs, 0)) for ours, theirs in COUNTERS.items()}


def main():
    import vllm
    job = json.load(sys.stdin)
    llm = vllm.LLM(dtype="float32", enforce_eager=True, disable_log_stats=False, **job["engine"])
    sampling = vllm.SamplingParams(temperature=0, max_tokens=job["max_tokens"])
    answer = []
    before = counts(llm)
    for kind, text in ([("chat", q) for q in job.get("questions", [])] +
                       [("text", p) for p in job.get("prompts", [])]):
        if kind == "chat":
            said, = llm.chat([{"role": "user", "content": text}], sampling, use_tqdm=False)
        else:
            said, = llm.generate([text], sampling, use_tqdm=False)
        now = counts(llm)
        answer.append({"tokens": list(said.outputs[0].token_ids), "text": said.outputs[0].text,
                       "finish": said.outputs[0].finish_reason,
                       "prompt": list(said.prompt_token_ids),
                       **{name: now[name] - before[name] for name in COUNTERS}})
        before = now
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
