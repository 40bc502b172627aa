for (let x = 101; x <= 120; x++) {
  const answer = await fetch(process.argv[2], { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ instances: [{ x }] }) });
  console.log(answer.status, await answer.text());
}
