#!/usr/bin/env python3
"""Asks a running gateway through OpenAI's own client, for scripts/check_openai.sh: every door, streamed and not.

Arguments: base address, token, and what is installed: any of `embedding`, `speech=FILE`, `language=ID`. Stops at the first surprise.
"""

import json
import sys

import openai


def models(client):
    ids = [model.id for model in client.models.list()]
    assert "kafclaw" in ids, ids
    assert client.models.retrieve("kafclaw").object == "model"
    return ids


def assistant(client):
    messages = [{"role": "user", "content": "what time is it?"}]
    whole = client.chat.completions.create(model="kafclaw", messages=messages, user="check")
    assert ":" in whole.choices[0].message.content and whole.choices[0].finish_reason == "stop", whole
    parts = client.chat.completions.create(model="kafclaw", messages=messages, user="check", stream=True)
    text = "".join(part.choices[0].delta.content or "" for part in parts)
    assert ":" in text, text


def refusals(client, address):
    for call, kind in [
        (lambda: client.chat.completions.create(model="local/none", messages=[{"role": "user", "content": "a"}]), openai.NotFoundError),
        (lambda: client.chat.completions.create(model="kafclaw", messages=[]), openai.BadRequestError),
        (lambda: client.embeddings.create(model="none", input=[1, 2, 3]), openai.BadRequestError),
        (lambda: client.models.retrieve("none"), openai.NotFoundError),
        (lambda: openai.OpenAI(base_url=address, api_key="wrong", max_retries=0).models.list(), openai.AuthenticationError),
    ]:
        try:
            call()
        except kind as error:
            assert error.message, error
        else:
            raise AssertionError(f"no {kind.__name__}")


def embeddings(client):
    answer = client.embeddings.create(model="", input=["the lamp in the kitchen", "a light near the stove"])
    vectors = [item.embedding for item in answer.data]
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-3, len(vectors[0])
    plain = client.embeddings.create(model=answer.model, input="the lamp in the kitchen", encoding_format="float")
    assert max(abs(a - b) for a, b in zip(plain.data[0].embedding, vectors[0])) < 1e-2
    short = client.embeddings.create(model=answer.model, input="the lamp in the kitchen", dimensions=64)
    assert len(short.data[0].embedding) == 64


def speech(client, path):
    with open(path, "rb") as file:
        recording = file.read()
    ask = lambda **more: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", recording), **more)
    text = ask().text
    verbose = ask(response_format="verbose_json", timestamp_granularities=["segment", "word"])
    assert verbose.duration > 0 and verbose.language, verbose
    assert verbose.words is not None
    assert "-->" in ask(response_format="vtt") or not text
    assert isinstance(ask(response_format="text"), str)
    streamed = list(ask(stream=True))
    assert streamed[-1].type == "transcript.text.done", streamed
    assert client.audio.translations.create(model="whisper-1", file=("a.wav", recording)) is not None
    return text


def language(client, model):
    messages = [{"role": "user", "content": "Say hello."}]
    ask = lambda **more: client.chat.completions.create(model=model, messages=messages, max_tokens=8, seed=7, **more)
    whole = ask(temperature=0)
    assert whole.usage.completion_tokens > 0, whole
    parts = list(ask(temperature=0, stream=True, stream_options={"include_usage": True}))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == (whole.choices[0].message.content or ""), (text, whole)
    assert parts[-1].usage.total_tokens == whole.usage.total_tokens
    tool = {"type": "function", "function": {"name": "lamp", "parameters": {
        "type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}}}
    called = client.chat.completions.create(
        model=model, messages=messages, tools=[tool], tool_choice="required", max_tokens=200, temperature=0)
    for call in called.choices[0].message.tool_calls or []:
        json.loads(call.function.arguments)
    return text


def main():
    address, token, *installed = sys.argv[1:]
    client = openai.OpenAI(base_url=address, api_key=token, max_retries=0, timeout=300)
    print("models:", ", ".join(models(client)))
    assistant(client)
    refusals(client, address)
    print("assistant, refusals: fine")
    for what in installed:
        name, _, value = what.partition("=")
        said = {"embedding": lambda: embeddings(client), "speech": lambda: speech(client, value),
                "language": lambda: language(client, value)}[name]()
        print(f"{name}: fine", repr(said)[:100] if said is not None else "")


main()
