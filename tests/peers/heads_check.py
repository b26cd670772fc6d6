# SPDX-License-Identifier: Apache-2.0
"""Exported heads as the engines that load them define them, against Trunkline's own head logits.

  TL_HEADS_DUMP=DIR build/tests/convert_tests --file=head_logits_test.cc   writes models, tokens and logits
  python tests/peers/heads_check.py DIR                 compares

Medusa: vLLM's MedusaModel and the original layout, on the states of the exported trunk in
transformers. MiMo: vLLM's and SGLang's MiMoMTP, on the trunk as Qwen2ForCausalLM. Written from
those definitions alone, with the names and shapes that they load. Logits must agree to 1e-4 and
the likeliest tokens must be equal; a folder spoiled on purpose must fail.
"""

import json
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def linear(weights, name, x):
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def trunk_states(model, tokens):
    """The states before and after the final norm."""
    streams = []
    hook = model.model.norm.register_forward_pre_hook(lambda _, inputs: streams.append(inputs[0]))
    after = model.model(tokens[None]).last_hidden_state[0]
    hook.remove()
    return streams[0][0], after


def medusa_vllm(config, w, state):
    """blocks[h].layers[l]: x + silu(linear(x)), one by one; then the head's unembedding."""
    assert config["architectures"] == ["MedusaModel"] and config["model_type"] == "medusa"
    # What vLLM's MedusaConfig would take for num_heads.
    assert [k for k in config if "num" in k and "heads" in k] == ["num_heads"]
    assert config["truncated_vocab_size"] == config["vocab_size"]
    used, logits = set(), []
    for head in range(config["num_heads"]):
        x = state
        for layer in range(config["num_hidden_layers"]):
            name = f"blocks.{head}.layers.{layer}"
            assert (f"{name}.bias" in w) == config["medusa_fc_bias"]
            x = x + F.silu(linear(w, name, x))
            used |= {f"{name}.weight", f"{name}.bias"}
        name = f"lm_heads.{0 if config['original_lm_head'] else head}.weight"
        used.add(name)
        logits.append(x @ w[name].T)
    assert used == set(w), set(w) ^ used
    return torch.stack(logits)


def medusa_original(config, w, state):
    """nn.ModuleList of nn.Sequential(ResBlock, ..., Linear without a bias)."""
    heads, layers = config["medusa_num_heads"], config["medusa_num_layers"]
    modules = torch.nn.ModuleList()
    for _ in range(heads):
        blocks = [torch.nn.ModuleDict({"linear": torch.nn.Linear(state.shape[-1], state.shape[-1])})
                  for _ in range(layers)]
        unembedding = torch.nn.Linear(state.shape[-1], config["vocab_size"], bias=False)
        modules.append(torch.nn.Sequential(*blocks, unembedding))
    modules.load_state_dict(w)  # strict
    logits = []
    for module in modules:
        x = state
        for block in module[:-1]:
            x = x + F.silu(block["linear"](x))
        logits.append(module[-1](x))
    return torch.stack(logits)


def rotate(x, theta):
    """x: [heads, tokens, dim], rotated in two halves."""
    dim = x.shape[-1]
    angle = torch.arange(x.shape[1]).double()[:, None] * theta ** (-torch.arange(0, dim, 2) / dim)
    cos, sin = angle.cos().float(), angle.sin().float()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def mimo_module(config, w, hidden, tokens):
    """MiMoMultiTokenPredictorLayer: tokens[t] follows position t, whose state is hidden[t]."""
    eps, heads = config["rms_norm_eps"], config["num_attention_heads"]
    dim = config["hidden_size"] // heads
    kv = config["num_key_value_heads"]
    p = "model.mtp_layers.0."
    embedded = w["model.embed_tokens.weight"][tokens].clone()
    embedded[0] = 0  # position 0
    x = torch.cat([norm(hidden, w[p + "hidden_layernorm.weight"], eps),
                   norm(embedded, w[p + "token_layernorm.weight"], eps)], -1)
    x = linear(w, p + "input_proj", x)
    y = norm(x, w[p + "input_layernorm.weight"], eps)

    def project(name, count):
        assert f"{p}self_attn.{name}_proj.bias" in w
        return linear(w, f"{p}self_attn.{name}_proj", y).view(-1, count, dim).transpose(0, 1)

    q = rotate(project("q", heads), config["rope_theta"])
    k = rotate(project("k", kv), config["rope_theta"]).repeat_interleave(heads // kv, 0)
    v = project("v", kv).repeat_interleave(heads // kv, 0)
    o = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).flatten(1)
    x = x + linear(w, p + "self_attn.o_proj", o)
    y = norm(x, w[p + "post_attention_layernorm.weight"], eps)
    x = x + linear(w, p + "mlp.down_proj",
                   F.silu(linear(w, p + "mlp.gate_proj", y)) * linear(w, p + "mlp.up_proj", y))
    return norm(x, w[p + "final_layernorm.weight"], eps) @ w["lm_head.weight"].T


def compare(what, found, expected, spoiled):
    away = (found - expected).abs().max().item()
    same = (found.argmax(-1) == expected.argmax(-1)).all().item()
    assert away < 1e-4 and same, f"{what}: {away} away, top-1 {'equal' if same else 'differs'}"
    wrong = (spoiled - expected).abs().max().item()
    assert wrong > 1e-2 and not (spoiled.argmax(-1) == expected.argmax(-1)).all(), \
        f"{what}: spoiled, and yet within {wrong}"
    print(f"{what:28s} within {away:.1e}, top-1 equal; spoiled: {wrong:.1f} away")


def load(folder, file="model.safetensors"):
    return json.load(open(f"{folder}/config.json")), load_file(f"{folder}/{file}")


def check_medusa(folder, tokens, expected):
    trunk = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/hf", dtype=torch.float32)
    _, state = trunk_states(trunk, tokens)
    main = (trunk.lm_head(state) - expected[0]).abs().max().item()
    assert main < 1e-4, f"{folder}: the trunk's logits are {main} away"
    for layout, file, forward in (("medusa", "model.safetensors", medusa_vllm),
                                  ("medusa-original", "medusa_lm_head.safetensors",
                                   medusa_original)):
        config, w = load(f"{folder}/{layout}", file)
        # The two layers of every head in each other's place.
        first, second = ((".layers.0.", ".layers.1.") if layout == "medusa" else
                         (".0.linear.", ".1.linear."))
        swapped = {name: w[name.replace(first, second) if first in name else
                           name.replace(second, first)] for name in w}
        compare(f"{folder.split('/')[-1]}, {layout}", forward(config, w, state), expected[1:],
                forward(config, swapped, state))


def check_mimo(folder, tokens, expected):
    config, w = load(f"{folder}/mimo")
    assert config["architectures"] == ["MiMoForCausalLM"]
    assert config["num_nextn_predict_layers"] == 1
    known = transformers.AutoConfig.from_pretrained(f"{folder}/mimo", trust_remote_code=True)
    assert known.model_type == "mimo" and known.num_nextn_predict_layers == 1
    qwen = {k: v for k, v in config.items() if k not in ("auto_map", "model_type", "architectures")}
    trunk = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**qwen))
    missing, unexpected = trunk.load_state_dict(w, strict=False)
    assert not missing and all(".mtp_layers." in name for name in unexpected), (missing, unexpected)
    trunk.eval()
    stream, state = trunk_states(trunk, tokens)
    main = (trunk.lm_head(state) - expected[0]).abs().max().item()
    assert main < 1e-4, f"{folder}: the trunk's logits are {main} away"
    # vLLM hands over the stream, SGLang what follows the final norm; the run trained on one.
    streamed = folder.endswith("_stream")
    given, other = (stream, state) if streamed else (state, stream)
    found = mimo_module(config, w, given[:-1], tokens[1:])
    spoiled = dict(w)
    name = "model.mtp_layers.0.input_proj.weight"
    spoiled[name] = torch.cat(w[name].chunk(2, 1)[::-1], 1)
    what = f"mimo, {'stream (vLLM)' if streamed else 'final norm (SGLang)'}"
    compare(what, found, expected[1, :-1], mimo_module(config, spoiled, given[:-1], tokens[1:]))
    compare(what + ", state", found, expected[1, :-1],
            mimo_module(config, w, other[:-1], tokens[1:]))


def main():
    folder = sys.argv[1]
    with torch.no_grad():
        for case in ("medusa", "medusa_shared", "mtp", "mtp_stream"):
            dump = load_file(f"{folder}/{case}/expected.safetensors")
            check = check_medusa if case.startswith("medusa") else check_mimo
            check(f"{folder}/{case}", dump["tokens"].long(), dump["logits"])


if __name__ == "__main__":
    main()
