using System.CommandLine;
using System.CommandLine.Help;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Leither.Ipfs.Keys;
using Leither.MmDb;
using Leither.MmDb.Passports;
using Leither.Node.Configuration;
using Leither.Node.Identity;

namespace Leither.Node.CommandLine;

/// <summary>
/// <c>leither lpki …</c>: keys, certificates and passports in files. No node is needed for them: what is signed here is checked where it is shown.
/// </summary>
internal static class LpkiCommand
{
    /// <summary>The environment variable that pass phrases are taken from.</summary>
    public const string PassPhraseVariable = "LEITHER_PASSPHRASE";

    private const int UsualDays = 30, MaxDays = 36_500;

    /// <summary>The command, for the command line.</summary>
    /// <param name="outer">The options before the command's name.</param>
    public static Command Create(OuterOptions outer)
    {
        MimeiOptions options = new(outer, new PassportOptions());
        Option<bool> json = options.Json;
        Command lpki = new("lpki", """
            Keys, certificates and passports: who is who, and who may do what for how long.

            A key is a file that only you can read. A passport is what the author of a node or of a MiMei signs for somebody else's key; with it that one logs in: AUTH passport PPT.
            """) { json };
        foreach (MimeiVerb verb in (MimeiVerb[])[GenKey(json), GenPk(json), GenCert(json), GenPkCert(json), SignPpt(json, outer), VerifyPpt(json), Prove(json), Show(json), RunScriptVerb.Create(options)])
        {
            lpki.Subcommands.Add(verb);
        }

        lpki.SetAction(static result => new MimeiHelp(new HelpAction()).Invoke(result));
        return lpki;
    }

    private static MimeiVerb GenKey(Option<bool> json)
    {
        Option<bool> encrypted = new("--encrypt", "-e") { Description = $"Encrypt it with a pass phrase: ${PassPhraseVariable}, or what is typed" };
        MimeiVerb verb = new("genkey", "FILE", "Makes a private key.")
        {
            Of = "lpki",
            Details = "An Ed25519 key, in a file that only you can read. Whoever has it is you: there is no other copy, and none can be made of what is lost.",
            Json = """{"file": text, "id": text, "peer": text, "encrypted": boolean}""",
            Examples = ["genkey my.key", "genkey my.key --encrypt"],
        };
        verb.Options.Add(encrypted);
        return verb.Acts(json, (result, output) =>
        {
            string file = verb.Words(result, 1, 1)[0];
            string? passPhrase = result.GetValue(encrypted) ? NewPassPhrase() : null;
            using PrivateKey key = PrivateKey.Generate();
            KeyFile.Write(file, KeyFile.ToText(key, passPhrase), isSecret: true);
            if (output.AsJson)
            {
                MimeiOutput.Json(new JsonObject { ["file"] = file, ["id"] = key.PublicKey.Id.ToString(), ["peer"] = key.PublicKey.PeerId.ToString(), ["encrypted"] = passPhrase is not null });
                return;
            }

            MimeiOutput.Plain($"Key of {key.PublicKey.Id} written to {file}{(passPhrase is null ? "" : ", encrypted")}");
            output.Next($"leither lpki genpk {NodePlace.Quoted(file)}      (what others may know of it)");
        });
    }

    private static MimeiVerb GenPk(Option<bool> json)
    {
        MimeiVerb verb = new("genpk", "KEY [FILE]", "Writes the public key that belongs to a private one.")
        {
            Of = "lpki",
            Details = "What others need to write a passport for you. Left out, FILE is KEY with the ending .pub.",
            Json = """{"file": text, "id": text, "peer": text, "key": text}""",
            Examples = ["genpk my.key", "genpk my.key friend.pub"],
        };
        return verb.Acts(json, (result, output) =>
        {
            string[] words = verb.Words(result, 1, 2);
            string file = words.Length > 1 ? words[1] : Path.ChangeExtension(words[0], ".pub");
            using PrivateKey key = KeyFile.ReadPrivate(words[0], PassPhrase);
            string text = KeyFile.ToText(key.PublicKey);
            KeyFile.Write(file, text, isSecret: false);
            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["file"] = file, ["id"] = key.PublicKey.Id.ToString(), ["peer"] = key.PublicKey.PeerId.ToString(), ["key"] = text });
            else MimeiOutput.Plain($"Public key of {key.PublicKey.Id} written to {file}");
        });
    }

    private static MimeiVerb GenCert(Option<bool> json) => Certifies(
        json, "gencert", "KEY FILE", "Makes a certificate of your own key: what you call yourself.", "What you are called", "gencert my.key my.cert --name Ada");

    private static MimeiVerb GenPkCert(Option<bool> json) => Certifies(
        json, "genpkcert", "KEY PUBLIC FILE", "Makes a certificate of somebody else's public key: you say whose it is.", "What the key's owner is called", "genpkcert my.key friend.pub friend.cert --name Grace");

    /// <summary>A command that certifies a key: the issuer's own, or where PUBLIC is among its words, the one in that file.</summary>
    private static MimeiVerb Certifies(Option<bool> json, string command, string usage, string summary, string nameIs, string example)
    {
        Option<string> name = new("--name") { Description = nameIs, HelpName = "NAME", Required = true };
        Option<long?> days = Days();
        MimeiVerb verb = new(command, usage, summary)
        {
            Of = "lpki",
            Json = """{"file": text, "id": text, "name": text, "end": Unix seconds}""",
            Examples = [example],
        };
        verb.Options.Add(name);
        verb.Options.Add(days);
        int count = usage.Split(' ').Length;
        return verb.Acts(json, (result, output) =>
        {
            string[] words = verb.Words(result, count, count);
            using PrivateKey key = KeyFile.ReadPrivate(words[0], PassPhrase);
            Certify(output, key, count == 2 ? key.PublicKey : ReadPublic(words[1]), words[^1], result.GetValue(name)!, result.GetValue(days));
        });
    }

    private static void Certify(MimeiOutput output, PrivateKey issuer, PublicKey subject, string file, string name, long? days)
    {
        if (name.Length == 0 || name.Any(char.IsControl) || Encoding.UTF8.GetByteCount(name) > Certificate.MaxNameBytes)
        {
            throw new CommandLineException($"A name has 1 to {Certificate.MaxNameBytes} bytes, in one line", isUsage: true);
        }

        (long from, long end) = Period(days ?? 365);
        Certificate certificate = new() { Issuer = issuer.PublicKey, Subject = subject, Name = name, From = from, End = end };
        KeyFile.Write(file, certificate.Sign(issuer), isSecret: false);
        if (output.AsJson) MimeiOutput.Json(new JsonObject { ["file"] = file, ["id"] = subject.Id.ToString(), ["name"] = name, ["end"] = end });
        else MimeiOutput.Plain($"Certificate of {subject.Id} ({name}) written to {file}, good until {Time(end)}");
    }

    private static MimeiVerb SignPpt(Option<bool> json, OuterOptions outer)
    {
        Option<string?> data = new("--data") { Description = $"Sign with the author's key of the node of this folder, for that node [default: {DataFolder.Default}]", HelpName = "DIR" };
        Option<string?> keyFile = new("--key", "-k") { Description = "Sign with this private key instead", HelpName = "FILE" };
        Option<string?> mimei = new("--mid", "-m") { Description = "The id of the MiMei that it is about; left out, the node's default one", HelpName = "MID" };
        Option<string?> node = new("--node", "-n") { Description = "The id of the node on which it holds, or 'any'; left out, the folder's node, and with --key any", HelpName = "ID" };
        Option<string?> rights = new("--right", "-r") { Description = $"What it lets do, with commas: {string.Join(", ", PassportRightWords.All)} [default: read]", HelpName = "WORDS" };
        Option<string[]> keys = new("--keys") { Description = "A pattern of the keys that it is about; may be given again [default: *]", HelpName = "PATTERN" };
        Option<long?> days = Days();
        Option<bool> proof = new("--proof") { Description = "Whoever shows it has to prove that he has the subject's key: what is stolen or overheard is good for nothing" };
        MimeiVerb verb = new("signppt", "SUBJECT FILE", "Signs a passport for whoever has a public key.")
        {
            Of = "lpki",
            Details = "SUBJECT is the file of a public key or of a certificate. What is signed is taken by nodes whose author you are, and where the MiMei is yours. Without --proof the passport is as good as a password: pass it on as one. The right login says only who you are: sign it with your own key, and each MiMei's list of rights (leither mimei right) says what you may do.",
            Json = """{"file": text, "serial": hex, "subject": text, "mimei": text, "node": text, "rights": [text], "keys": [text], "from": Unix seconds, "end": Unix seconds, "proof": boolean}""",
            Examples = ["signppt friend.pub friend.ppt", "signppt friend.pub friend.ppt -m RXN74QNeiY08LRSaoeQhx3nOLTC -r read,write --keys 'app:*' --days 7 --proof", "signppt friend.pub friend.ppt -k my.key -n any", "signppt my.pub me.ppt -k my.key -r login --proof"],
        };
        foreach (Option option in (Option[])[data, keyFile, mimei, node, rights, keys, days, proof]) verb.Options.Add(option);
        return verb.Acts(json, (result, output) =>
        {
            string[] words = verb.Words(result, 2, 2);
            PublicKey subject = ReadPublic(words[0]);
            string folder = Path.Combine(result.GetValue(data) ?? result.GetValue(outer.Data) ?? DataFolder.Default, "keys");
            string? own = result.GetValue(keyFile);
            using PrivateKey issuer = KeyFile.ReadPrivate(own ?? Path.Combine(folder, "author.key"), PassPhrase);
            LeitherId? place = result.GetValue(node) is { } named ? named == "any" ? null : Id(named, "node", "swarm id") : null;
            if (own is null && result.GetValue(node) is null)
            {
                using PrivateKey nodeKey = KeyFile.ReadPrivate(Path.Combine(folder, "node.key"), static () => "");
                place = nodeKey.PublicKey.Id;
            }

            (long from, long end) = Period(result.GetValue(days) ?? UsualDays);
            Passport passport = new()
            {
                Issuer = issuer.PublicKey,
                Subject = subject,
                Mid = result.GetValue(mimei) is { } mid ? Id(mid, "MiMei", "mimei show NAME") : null,
                Node = place,
                From = from,
                End = end,
                Rights = Rights(result.GetValue(rights) ?? "read"),
                Keys = result.GetValue(keys) is { Length: > 0 } patterns ? [.. patterns.Select(static p => Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(p)))] : ["*"],
                NeedsProof = result.GetValue(proof),
            };
            byte[] block;
            try
            {
                block = passport.Sign(issuer);
            }
            catch (ArgumentException e)
            {
                string hint = passport.Rights.HasFlag(PassportRights.Login) ? $"\nSuch as: leither lpki signppt {words[0]} {words[1]} --key FILE --right login --proof      (FILE: the private key of {words[0]})" : "";
                throw new CommandLineException(e.Message + hint, isUsage: true, e);
            }

            KeyFile.Write(words[1], Passport.ToText(block), isSecret: true);
            if (output.AsJson)
            {
                JsonObject described = Describe(passport);
                described["file"] = words[1];
                MimeiOutput.Json(described);
                return;
            }

            MimeiOutput.Plain($"Passport {passport.SerialText} for {subject.Id} written to {words[1]}, good until {Time(end)}");
            output.Next(passport.NeedsProof ? $"leither lpki prove KEY {NodePlace.Quoted(words[1])} CHALLENGE NODE      (the subject, after PASSPORT CHALLENGE)" : $"redis-cli AUTH passport $(cat {NodePlace.Quoted(words[1])})      (the subject)",
                $"leither PASSPORT REVOKE {passport.SerialText}      (to take it back)");
        });
    }

    private static MimeiVerb VerifyPpt(Option<bool> json)
    {
        Option<string?> issuerFile = new("--issuer", "-i") { Description = "The public key or certificate of who has to have signed it", HelpName = "FILE" };
        MimeiVerb verb = new("verifyppt", "FILE", "Tells whether a passport is well signed and holds now.")
        {
            Of = "lpki",
            Details = "Whether it was revoked, and whether its issuer has a say, only the node knows: PASSPORT CHECK asks it.",
            Json = """{"valid": boolean, "problem": text, and what show prints}""",
            Examples = ["verifyppt friend.ppt", "verifyppt friend.ppt -i author.pub"],
        };
        verb.Options.Add(issuerFile);
        return verb.Acts(json, (result, output) =>
        {
            string file = verb.Words(result, 1, 1)[0];
            PublicKey? issuer = result.GetValue(issuerFile) is { } named ? ReadPublic(named) : null;
            string text = KeyFile.Read(file);
            if (!Passport.TryParse(text, out byte[]? block, out _)) throw new CommandLineException($"{file} is no passport");
            if (!Passport.TryRead(block, out Passport? passport, out PassportRefusal refusal))
            {
                throw new CommandLineException(refusal == PassportRefusal.Forged ? $"{file} was not signed by its issuer: it is forged or damaged" : $"{file} is no passport");
            }

            long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            if (issuer is not null && !issuer.Equals(passport.Issuer)) throw new CommandLineException($"{file} was signed by {passport.Issuer.Id}, not by {issuer.Id}");
            if (now < passport.From) throw new CommandLineException($"{file} does not hold before {Time(passport.From)}");
            if (now >= passport.End) throw new CommandLineException($"{file} has expired on {Time(passport.End)}");
            if (output.AsJson)
            {
                JsonObject described = Describe(passport);
                described["valid"] = true;
                MimeiOutput.Json(described);
                return;
            }

            MimeiOutput.Plain($"{file} is well signed by {passport.Issuer.Id}, for {passport.Subject.Id}, and holds until {Time(passport.End)}");
        });
    }

    private static MimeiVerb Prove(Option<bool> json)
    {
        MimeiVerb verb = new("prove", "KEY PASSPORT CHALLENGE NODE", "Answers a node's challenge with the subject's key.")
        {
            Of = "lpki",
            Details = "CHALLENGE and NODE are what PASSPORT CHALLENGE replied on the connection that is to be logged in. What is printed goes into AUTH passport there, within a minute, once.",
            Json = """{"passport": text}""",
            Examples = ["prove friend.key friend.ppt 5f0c… Ngacq50-IRX_DfcndFwZ0c9S0Nh"],
        };
        return verb.Acts(json, (result, output) =>
        {
            string[] words = verb.Words(result, 4, 4);
            (byte[] block, Passport passport) = ReadPassport(words[1]);
            string text = Prove(words[0], block, passport, words[2], words[3]);
            if (output.AsJson) MimeiOutput.Json(new JsonObject { ["passport"] = text });
            else MimeiOutput.Plain(text);
        });
    }

    /// <summary>Reads a passport from its file, which nobody has checked but for its signature.</summary>
    internal static (byte[] Block, Passport Passport) ReadPassport(string file) =>
        Passport.TryParse(KeyFile.Read(file), out byte[]? block, out _) && Passport.TryRead(block, out Passport? passport, out _) ? (block, passport) : throw new CommandLineException($"{file} is no passport");

    /// <summary>What logs in with a passport that asks for a proof, once: the answer to a node's challenge beside it.</summary>
    internal static string Prove(string keyFile, byte[] block, Passport passport, string challengeText, string nodeText)
    {
        byte[] challenge;
        try
        {
            challenge = Convert.FromHexString(challengeText);
        }
        catch (FormatException e)
        {
            throw new CommandLineException("The challenge is not what PASSPORT CHALLENGE replies", isUsage: true, e);
        }

        if (challenge.Length != Passport.ChallengeLength) throw new CommandLineException("The challenge is not what PASSPORT CHALLENGE replies", isUsage: true);
        LeitherId node = Id(nodeText, "node", "swarm id");
        if (passport.Node is { } place && place != node) throw new CommandLineException($"The passport is for the node {place}, not for {node}");
        using PrivateKey key = KeyFile.ReadPrivate(keyFile, PassPhrase);
        return key.PublicKey.Equals(passport.Subject) ? Passport.ToText(block, key, challenge, node) : throw new CommandLineException($"{keyFile} is the key of {key.PublicKey.Id}, the passport is for {passport.Subject.Id}");
    }

    private static MimeiVerb Show(Option<bool> json)
    {
        MimeiVerb verb = new("show", "FILE", "Tells what is in a file: a key, a certificate or a passport.")
        {
            Of = "lpki",
            Details = "Of a private key only what others may know is shown; an encrypted one has to be opened for that.",
            Json = """{"kind": "private key" | "public key" | "certificate" | "passport", …}""",
            Examples = ["show my.key", "show friend.ppt --json"],
        };
        return verb.Acts(json, (result, output) =>
        {
            string file = verb.Words(result, 1, 1)[0], text = KeyFile.Read(file);
            JsonObject shown = Describe(text) ?? throw new CommandLineException($"{file} is neither a key nor a certificate nor a passport, or it is damaged or forged");
            if (output.AsJson)
            {
                MimeiOutput.Json(shown);
                return;
            }

            foreach ((string name, JsonNode? value) in shown)
            {
                string line = value switch
                {
                    JsonArray list => string.Join(' ', list.Select(static v => v!.GetValue<string>())),
                    JsonValue one when name is "from" or "end" => Time(one.GetValue<long>()),
                    JsonValue one when one.TryGetValue(out bool yes) => yes ? "yes" : "no",
                    _ => value?.ToString() ?? "",
                };
                MimeiOutput.Plain($"{name,-10} {MimeiOutput.OneLine(line)}");
            }
        });
    }

    private static JsonObject? Describe(string text)
    {
        if (Passport.TryParse(text, out byte[]? block, out _)) return Passport.TryRead(block, out Passport? passport, out _) ? Describe(passport) : null;
        if (Certificate.IsText(text))
        {
            return !Certificate.TryRead(text, out Certificate? certificate) ? null : new JsonObject
            {
                ["kind"] = "certificate",
                ["name"] = certificate.Name,
                ["subject"] = certificate.Subject.Id.ToString(),
                ["issuer"] = certificate.Issuer.Id.ToString(),
                ["from"] = certificate.From,
                ["end"] = certificate.End,
            };
        }

        if (KeyFile.TryParsePublic(text, out PublicKey? key))
        {
            return new JsonObject { ["kind"] = "public key", ["id"] = key.Id.ToString(), ["peer"] = key.PeerId.ToString() };
        }

        try
        {
            using PrivateKey secret = KeyFile.ParsePrivate(text, PassPhrase);
            return new JsonObject { ["kind"] = "private key", ["id"] = secret.PublicKey.Id.ToString(), ["peer"] = secret.PublicKey.PeerId.ToString(), ["encrypted"] = KeyFile.IsEncrypted(text) };
        }
        catch (IdentityException) when (!KeyFile.IsEncrypted(text))
        {
            return null;
        }
    }

    private static JsonObject Describe(Passport passport) => new()
    {
        ["kind"] = "passport",
        ["serial"] = passport.SerialText,
        ["subject"] = passport.Subject.Id.ToString(),
        ["issuer"] = passport.Issuer.Id.ToString(),
        ["mimei"] = passport.Mid?.ToString() ?? "",
        ["node"] = passport.Node?.ToString() ?? "",
        ["rights"] = new JsonArray([.. PassportRightWords.Of(passport.Rights).Select(static w => JsonValue.Create(w))]),
        ["keys"] = new JsonArray([.. passport.Keys.Select(static k => JsonValue.Create(k))]),
        ["from"] = passport.From,
        ["end"] = passport.End,
        ["proof"] = passport.NeedsProof,
    };

    private static Option<long?> Days() =>
        MimeiOptions.Number(new Option<long?>("--days") { Description = "For how many days it is good", HelpName = "N" }, MaxDays);

    private static (long From, long End) Period(long days)
    {
        // A clock elsewhere may be a little behind.
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        return (now - 60, now + (days * 86_400));
    }

    private static PassportRights Rights(string words)
    {
        PassportRights rights = PassportRights.None;
        foreach (string word in words.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            rights |= PassportRightWords.TryParse(word, out PassportRights right) ? right
                : throw new CommandLineException($"There is no right '{word}'. There are: {string.Join(", ", PassportRightWords.All)}", isUsage: true);
        }

        return rights;
    }

    private static LeitherId Id(string text, string what, string command) =>
        LeitherId.TryParse(text, out LeitherId id) ? id
        : throw new CommandLineException($"'{text}' is no id of a {what}: those have {LeitherId.TextLength} characters (leither {command} tells it)", isUsage: true);

    private static PublicKey ReadPublic(string file)
    {
        string text = KeyFile.Read(file);
        if (KeyFile.TryParsePublic(text, out PublicKey? key)) return key;
        if (Certificate.TryRead(text, out Certificate? certificate))
        {
            long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
            return now < certificate.From ? throw new CommandLineException($"{file} does not hold before {Time(certificate.From)}")
                : now < certificate.End ? certificate.Subject : throw new CommandLineException($"{file} has expired on {Time(certificate.End)}");
        }

        throw new CommandLineException($"{file} is neither a public key nor a certificate. leither lpki genpk makes one of a private key");
    }

    private static string Time(long seconds) =>
        seconds is < 0 or > 253_402_300_799 ? seconds.ToString(CultureInfo.InvariantCulture) : MimeiOutput.LocalTime(DateTimeOffset.FromUnixTimeSeconds(seconds));

    private static string NewPassPhrase()
    {
        string first = PassPhrase();
        if (first.Length == 0) throw new CommandLineException("An empty pass phrase protects nothing");
        if (Environment.GetEnvironmentVariable(PassPhraseVariable) is null && Ask("Again: ") != first) throw new CommandLineException("These were two different pass phrases");
        return first;
    }

    private static string PassPhrase() => Environment.GetEnvironmentVariable(PassPhraseVariable) ?? Ask("Pass phrase: ");

    /// <summary>Reads a line that nobody sees.</summary>
    private static string Ask(string question)
    {
        if (Console.IsInputRedirected)
        {
            return Console.In.ReadLine() ?? throw new CommandLineException($"The key is encrypted. Put the pass phrase into the environment variable {PassPhraseVariable}");
        }

        Console.Error.Write(question);
        StringBuilder typed = new();
        while (Console.ReadKey(intercept: true) is { Key: not ConsoleKey.Enter } key)
        {
            if (key.Key == ConsoleKey.Backspace) typed.Length = Math.Max(0, typed.Length - 1);
            else if (key.KeyChar != '\0') typed.Append(key.KeyChar);
        }

        Console.Error.WriteLine();
        return typed.ToString();
    }

    /// <summary>Runs a command that needs no node; gives the exit code.</summary>
    private static MimeiVerb Acts(this MimeiVerb verb, Option<bool> json, Action<ParseResult, MimeiOutput> act)
    {
        verb.SetAction(result =>
        {
            MimeiOutput output = new(result.GetValue(json));
            try
            {
                act(result, output);
                return 0;
            }
            catch (CommandLineException e)
            {
                output.Fail(e.Message);
                return e.ExitCode;
            }
            catch (IdentityException e)
            {
                output.Fail(e.Message);
                return 1;
            }
        });
        return verb;
    }
}
