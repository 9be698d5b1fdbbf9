"""Prompts as the papers write them, and conversations that only ever grow at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from palestra.envs import Message
from palestra.errors import ConfigError
from palestra.rollout.prompting import Prompter

SPECIAL = ["<pad>", "<bos>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% if m.role == 'assistant' %}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TRIMS = CHAT.replace("{{ m.content }}", "{{ m.content | trim }}")
DROPS_THOUGHTS = CHAT.replace(
    "{{ m.content }}",
    "{{ m.content.split('</think>')[-1] if m.role == 'assistant' and not loop.last else m.content }}",
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT
)


def byte_tokenizer(
    template: str | None = CHAT,
    *,
    bos: bool = False,
    eos: str | None = "<|end|>",
    closes: bool = False,
) -> PreTrainedTokenizerFast:
    """Return a lossless tokenizer: one token a byte."""
    vocab = {t: i for i, t in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    if bos or closes:
        parts = ["<bos>"] * bos + ["$A"] + ["<|end|>"] * closes
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join(parts), special_tokens=[("<bos>", 1), ("<|end|>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=eos, pad_token="<pad>", chat_template=template
    )


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def test_r1_zero_is_table_1_word_for_word():
    prompter = Prompter(byte_tokenizer(), "r1_zero")
    assert prompter.text([user("What is 1+1?")]) == (
        "A conversation between User and Assistant. The user asks a question, and the Assistant "
        "solves it. The assistant first thinks about the reasoning process in the mind and then "
        "provides the user with the answer. The reasoning process and answer are enclosed within "
        "<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning "
        "process here </think> <answer> answer here </answer>. User: What is 1+1? Assistant:"
    )


def test_chat_is_the_models_own_template():
    prompter = Prompter(byte_tokenizer(), "chat")
    messages: list[Message] = [{"role": "system", "content": "Be brief."}, user("Hi")]
    assert prompter.text(messages) == "<|system|>Be brief.<|user|>Hi<|assistant|>"
    # The template's special tokens are tokens, not text.
    assert prompter.open([user("Hi")])[0] == SPECIAL.index("<|user|>")
    assert prompter.open([user("Hi")])[-1] == SPECIAL.index("<|assistant|>")


def test_raw_is_the_text_alone():
    assert Prompter(byte_tokenizer(), "raw").text([user("1+1=")]) == "1+1="


def test_a_jinja_file_gets_the_messages(tmp_path: Path):
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"
    )
    assert Prompter(byte_tokenizer(), str(file)).text([user("Hi")]) == "[user] Hi\n[assistant]"


def test_a_jinja_file_cannot_reach_into_python(tmp_path: Path):
    file = tmp_path / "evil.jinja"
    file.write_text("{{ messages.__class__.__mro__ }}")
    with pytest.raises(ConfigError, match=r"evil\.jinja"):
        Prompter(byte_tokenizer(), str(file)).text([user("Hi")])


def test_a_jinja_file_with_a_mistake_names_file_and_line(tmp_path: Path):
    file = tmp_path / "broken.jinja"
    file.write_text("fine\n{% for m in messages %}")
    with pytest.raises(ConfigError, match=r"broken\.jinja:2"):
        Prompter(byte_tokenizer(), str(file))


def test_a_missing_jinja_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.jinja"):
        Prompter(byte_tokenizer(), str(tmp_path / "none.jinja"))


def test_a_chat_template_that_refuses_a_message_is_a_config_error():
    prompter = Prompter(byte_tokenizer(NO_SYSTEM), "chat")
    with pytest.raises(ConfigError, match="no system role"):
        prompter.text([{"role": "system", "content": "x"}, user("Hi")])


def test_an_unknown_style_suggests_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'r1_zero'"):
        Prompter(byte_tokenizer(), "r1zero")


def test_a_model_without_a_chat_template_says_what_to_use():
    with pytest.raises(ConfigError, match=r"no chat template.*r1_zero, raw"):
        Prompter(byte_tokenizer(None), "chat")
    Prompter(byte_tokenizer(None), "r1_zero")


def test_a_model_without_an_end_token_is_refused():
    with pytest.raises(ConfigError, match="eos_token"):
        Prompter(byte_tokenizer(eos=None), "raw")


def test_a_begin_token_is_added_once_and_never_an_end_token():
    tokenizer = byte_tokenizer("<bos>" + CHAT, bos=True, closes=True)
    for style in ("chat", "raw", "r1_zero"):
        ids = Prompter(tokenizer, style).open([user("Hi")])
        assert ids.count(SPECIAL.index("<bos>")) == 1
        assert ids[0] == SPECIAL.index("<bos>")
        assert ids[-1] != SPECIAL.index("<|end|>")


def test_prefill_ends_the_prompt_and_opens_the_action():
    prompter = Prompter(byte_tokenizer(), "chat", prefill="<think>\n")
    assert prompter.text([user("Hi")]).endswith("<|assistant|><think>\n")
    completion = prompter.tokenizer.encode("so</think><|end|>", add_special_tokens=False)
    assert prompter.action(completion) == "<think>\nso</think>"


def test_an_action_keeps_special_tokens_and_drops_only_the_final_stop():
    prompter = Prompter(byte_tokenizer(), "chat")
    ids = prompter.tokenizer.encode("a<|user|>b<|end|>c<|end|>", add_special_tokens=False)
    assert prompter.action(ids) == "a<|user|>b<|end|>c"
    assert prompter.action(ids[:-1]) == "a<|user|>b<|end|>c"
    assert prompter.action([]) == ""


@pytest.mark.parametrize(
    "text", ["a , b . c ' d", "  two  spaces \n", "数学 ！", "don 't", "é̂\x00\x7f"]
)
def test_an_action_is_the_text_to_the_byte(text: str):
    prompter = Prompter(byte_tokenizer(), "raw")
    assert prompter.action(prompter.tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("style", ["chat", "r1_zero", "raw", "jinja"])
@pytest.mark.parametrize("prefill", ["", "<think>"])
def test_a_conversation_grows_at_its_end_and_reads_like_its_rendering(
    style: str, prefill: str, tmp_path: Path
):
    """Turn by turn: the sampler's ids, then the tokens of `extend`; no stop token twice."""
    if style == "jinja":
        (tmp_path / "t.jinja").write_text(CHAT)
        style = str(tmp_path / "t.jinja")
    prompter = Prompter(byte_tokenizer(), style, prefill)
    messages = [user("guess")]
    ids = list(prompter.open(messages))
    for turn in range(3):
        written = prompter.tokenizer.encode(f"try {turn} <|end|>", add_special_tokens=False)
        ids += written
        messages += [assistant(prompter.action(written)), user(f"not {turn}")]
        more = prompter.extend(messages, ended=True)
        ids += more
        text = prompter.tokenizer.decode(ids)
        assert "<|end|><|end|>" not in text
        # What the model reads is the rendering, but for an end token that the template may lack.
        assert text.replace("<|end|>", "") == prompter.text(messages).replace("<|end|>", "")
        if "chat" in style or "jinja" in style:
            assert text == prompter.text(messages)


def test_a_turn_that_was_cut_is_closed_by_the_template():
    prompter = Prompter(byte_tokenizer(), "chat")
    written = prompter.tokenizer.encode("cut he", add_special_tokens=False)
    messages = [user("go"), assistant(prompter.action(written)), user("on")]
    ids = [*prompter.open(messages[:1]), *written, *prompter.extend(messages, ended=False)]
    assert prompter.tokenizer.decode(ids) == prompter.text(messages)


@pytest.mark.parametrize("action", ["<think>a</think> b", "plain"])
def test_a_template_that_drops_earlier_thoughts_is_refused_when_it_does(action: str):
    prompter = Prompter(byte_tokenizer(DROPS_THOUGHTS), "chat")
    messages = [user("q"), assistant(action), user("more")]
    if "think" in action:
        with pytest.raises(ConfigError, match="not append-only"):
            prompter.extend(messages, ended=True)
    else:
        prompter.extend(messages, ended=True)


def test_a_template_that_trims_white_space_still_only_appends():
    """Llama's and others' do: the sampled tokens stay, white space and all."""
    prompter = Prompter(byte_tokenizer(TRIMS), "chat")
    more = prompter.extend([user("q"), assistant("  a b \n"), user("more")], ended=True)
    assert prompter.tokenizer.decode(more) == "\n<|user|>more<|assistant|>"


TOOLS = ({"type": "function", "function": {"name": "add", "parameters": {}}},)
WITH_TOOLS = "{% if tools %}<|system|>{{ tools | tojson }}{% endif %}" + CHAT


def test_tools_reach_a_chat_template_that_has_a_place_for_them():
    prompter = Prompter(byte_tokenizer(WITH_TOOLS))
    assert '"name": "add"' in prompter.text([user("2+2?")], TOOLS)
    assert prompter.text([user("2+2?")]) == "<|user|>2+2?<|assistant|>"


def test_tools_are_never_left_out_in_silence():
    with pytest.raises(ConfigError, match="no place for tools"):
        Prompter(byte_tokenizer()).open([user("2+2?")], TOOLS)


@pytest.mark.parametrize("style", ["r1_zero", "raw"])
def test_our_own_templates_list_the_tools(style: str):
    assert '"name": "add"' in Prompter(byte_tokenizer(), style).text([user("2+2?")], TOOLS)


def test_a_conversation_with_tools_only_grows():
    prompter = Prompter(byte_tokenizer(WITH_TOOLS))
    opening, call = [user("2+2?")], assistant("add(2, 2)")
    ids = prompter.open(opening, TOOLS)
    said = tuple(prompter.tokenizer.encode(call["content"]))
    more = prompter.extend([*opening, call, user("4")], TOOLS, ended=False)
    whole = prompter.tokenizer.encode(prompter.text([*opening, call, user("4")], TOOLS))
    assert [*ids, *said, *more] == whole
