// Random and damaged bytes into every parser. Each either refuses them with its one exception (or false), or has read something that it writes again as
// the same bytes. LEITHER_SEED=n runs one seed again; LEITHER_LONG=1 runs many times as many cases, with a fresh seed.

using Leither.Ipfs.Car;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.DagPb;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.Ipfs.Tests.DagCbor;
using Leither.Ipfs.Tests.DagPb;
using Leither.TestKit;
using Xunit;

namespace Leither.Ipfs.Tests;

public sealed class FuzzTests
{
    private static int Cases => Seed.IsLong ? 300_000 : 2_000;

    [Fact]
    public void Varints_multihashes_and_CIDs() => Seed.Run(random =>
    {
        byte[] room = new byte[Cid.MaxLength];
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            byte[] bytes = Damage(random, RandomCid(random).ToArray());
            if (Varint.TryRead(bytes, out ulong value, out int used))
            {
                Assert.Equal(used, Varint.Write(room, value));
                Assert.True(bytes.AsSpan(0, used).SequenceEqual(room.AsSpan(0, used)));
            }

            if (Multihash.TryRead(bytes, out Multihash hash, out used))
            {
                Assert.True(bytes.AsSpan(0, used).SequenceEqual(hash.ToArray()));
            }

            if (Cid.TryRead(bytes, out Cid cid, out used))
            {
                read++;
                Assert.True(bytes.AsSpan(0, used).SequenceEqual(cid.ToArray()));
                Assert.Equal(cid, Cid.Parse(cid.ToString()));
            }
        }

        Assert.True(read > Cases / 20);
    });

    [Fact]
    public void Texts_of_CIDs_and_multibase() => Seed.Run(random =>
    {
        MultibaseEncoding[] encodings = Array.FindAll(Enum.GetValues<MultibaseEncoding>(), encoding => encoding != MultibaseEncoding.None);
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            Cid cid = RandomCid(random);
            string text = cid.Version == 0 ? cid.ToString() : cid.ToString(encodings[random.Next(encodings.Length)]);
            text = random.Next(4) == 0 ? new string(Array.ConvertAll(Damage(random, Array.ConvertAll(text.ToCharArray(), c => (byte)c)), b => (char)b)) : ChangeOne(random, text);
            if (Multibase.TryDecode(text, out byte[]? bytes, out MultibaseEncoding encoding))
            {
                Assert.Equal(text, Multibase.Encode(encoding, bytes), ignoreCase: OneCase(text));
            }

            if (Cid.TryParse(text, out cid))
            {
                read++;
                Assert.Equal(text, cid.Version == 0 ? cid.ToString() : cid.ToString((MultibaseEncoding)text[0]), ignoreCase: OneCase(text));
            }

            if (PeerId.TryParse(text, out PeerId peer))
            {
                Assert.True(peer.ToString() == text || peer.ToCid() == cid);
            }

            if (LeitherId.TryParse(text, out LeitherId id))
            {
                Assert.Equal(text, id.ToString());
            }
        }

        Assert.True(read > Cases / 20);

        static bool OneCase(string text) => text[0] is 'f' or 'F' or 'b' or 'B' or 'c' or 'C' or 'v' or 'V' or 't' or 'T' or 'k' or 'K';
    });

    [Fact]
    public void DAG_CBOR() => Seed.Run(random =>
    {
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            byte[] whole = RandomDagCbor(random);
            Assert.Equal(whole, DagCborCopy.Of(whole));
            byte[] block = Damage(random, whole);
            bool valid = true;
            try
            {
                Assert.Equal(block, DagCborCopy.Of(block));
                read++;
            }
            catch (DagCborException)
            {
                valid = false;
            }

            Assert.Equal(valid, Succeeds<DagCborException>(() => DagCborReader.Validate(block)));
            Assert.Equal(valid, Succeeds<DagCborException>(() => Links.AddTo([], Multicodec.DagCbor, block)));
        }

        Assert.True(read > Cases / 20);
    });

    [Fact]
    public void DAG_PB() => Seed.Run(random =>
    {
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            byte[] whole = RandomDagPb(random);
            Assert.Equal(whole, PbNode.Decode(whole, out bool isCanonical).Encode());
            Assert.True(isCanonical);
            byte[] block = Damage(random, whole);
            try
            {
                byte[] again = PbNode.Decode(block, out isCanonical).Encode();
                Assert.Equal(isCanonical, again.AsSpan().SequenceEqual(block));
                read++;
            }
            catch (DagPbException)
            {
            }

            Succeeds<DagPbException>(() => Links.AddTo([], Multicodec.DagPb, block));
        }

        Assert.True(read > Cases / 20);
    });

    [Fact]
    public void CARs() => Seed.Run(random =>
    {
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            var stream = new MemoryStream();
            var roots = new Cid[random.Next(3)];
            for (int r = 0; r < roots.Length; r++)
            {
                roots[r] = RandomCid(random);
            }

            CarWriter writer = random.Next(2) == 0 ? CarWriter.Create(stream, roots) : CarWriter.CreateV2(stream, roots);
            for (int blocks = random.Next(4); blocks > 0; blocks--)
            {
                byte[] block = new byte[random.Next(50)];
                random.NextBytes(block);
                Multihash hash = random.Next(3) switch { 0 => Multihash.Sha512(block), 1 => Multihash.Identity(block), _ => Multihash.Sha256(block) };
                writer.Write(random.Next(4) == 0 ? Cid.CreateV0(Multihash.Sha256(block)) : Cid.Create(Multicodec.Raw, hash), block);
            }

            writer.Complete();
            byte[] car = Damage(random, stream.ToArray());
            try
            {
                CarReader reader = CarReader.Open(new MemoryStream(car));
                var copy = new MemoryStream();
                CarWriter copier = CarWriter.Create(copy, [.. reader.Roots]);
                while (reader.Read())
                {
                    copier.Write(reader.Cid, reader.Block.Span);
                }

                copier.Complete();
                int start = reader.Version == 1 ? 0 : BitConverter.ToInt32(car, 27);
                int length = reader.Version == 1 ? car.Length : BitConverter.ToInt32(car, 35);
                Assert.Equal(car.AsSpan(start, length).ToArray(), copy.ToArray());
                read++;
            }
            catch (CarException)
            {
            }
        }

        Assert.True(read > Cases / 20);
    });

    [Fact]
    public void Keys() => Seed.Run(random =>
    {
        byte[] seed = new byte[32];
        random.NextBytes(seed);
        using PrivateKey key = PrivateKey.FromSeed(seed);
        byte[] privateBytes = new byte[PrivateKey.ProtobufLength];
        key.CopyProtobuf(privateBytes);
        for (int i = 0; i < Cases; i++)
        {
            byte[] bytes = Damage(random, key.PublicKey.Protobuf.ToArray());
            if (PublicKey.TryFromProtobuf(bytes, out PublicKey? read))
            {
                Assert.Equal(bytes, read.Protobuf.ToArray());
                Assert.Equal(i % 16 == 0 && read.Equals(key.PublicKey), i % 16 == 0 && read.Verify(seed, key.Sign(seed)));
            }

            bytes = Damage(random, key.PublicKey.PeerId.ToArray());
            if (PeerId.TryRead(bytes, out PeerId peer))
            {
                Assert.Equal(bytes, peer.ToArray());
                peer.TryGetPublicKey(out _);
            }

            // Making keys costs more than all else here.
            if (i % 16 == 0 && PrivateKey.TryFromProtobuf(bytes = Damage(random, privateBytes), out PrivateKey? privateKey))
            {
                byte[] again = new byte[PrivateKey.ProtobufLength];
                privateKey.CopyProtobuf(again);
                Assert.Equal(bytes, again);
                privateKey.Dispose();
            }
        }
    });

    /// <summary>Nothing, or a few changes of the kinds that parsers meet; now and then bytes that are random altogether.</summary>
    private static byte[] Damage(Random random, byte[] whole)
    {
        if (random.Next(10) == 0)
        {
            var noise = new byte[random.Next(64)];
            random.NextBytes(noise);
            return noise;
        }

        var bytes = new List<byte>(whole);
        for (int changes = random.Next(4); changes > 0; changes--)
        {
            int at = random.Next(bytes.Count + 1);
            switch (random.Next(6))
            {
                case 0 when at < bytes.Count: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1 when at < bytes.Count: bytes[at] = Telling(random); break;
                case 2: bytes.Insert(at, Telling(random)); break;
                case 3 when at < bytes.Count: bytes.RemoveAt(at); break;
                case 4: bytes.RemoveRange(at, bytes.Count - at); break;
                case 5:
                    int length = Math.Min(random.Next(20), bytes.Count - at);
                    bytes.InsertRange(random.Next(bytes.Count + 1), bytes.GetRange(at, length)); // a part twice, or moved
                    break;
            }
        }

        return [.. bytes];

        // Bytes that mean something: lengths, heads, tags, ends of ranges.
        static byte Telling(Random random)
        {
            ReadOnlySpan<byte> telling =
                [0, 1, 0x0A, 0x12, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1F, 0x20, 0x2A, 0x3B, 0x40, 0x58, 0x5F, 0x60, 0x7F, 0x80, 0x9F, 0xA0, 0xBB, 0xD8, 0xF6, 0xFB, 0xFF];
            return random.Next(2) == 0 ? telling[random.Next(telling.Length)] : (byte)random.Next(256);
        }
    }

    private static string ChangeOne(Random random, string text)
    {
        if (random.Next(2) == 0)
        {
            return text;
        }

        const string characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/-_= é";
        int at = random.Next(text.Length);
        return text[..at] + characters[random.Next(characters.Length)] + text[(at + random.Next(2))..];
    }

    private static bool Succeeds<T>(Action parse)
        where T : MalformedBlockException
    {
        try
        {
            parse();
            return true;
        }
        catch (T)
        {
            return false;
        }
    }

    private static Cid RandomCid(Random random)
    {
        byte[] digest = new byte[random.Next(4) == 0 ? random.Next(70) : 32];
        random.NextBytes(digest);
        return random.Next(6) switch
        {
            0 => Cid.CreateV0(Multihash.Sha256(digest)),
            1 => Cid.Create(Multicodec.Libp2pKey, Multihash.Identity(digest)),
            2 => Cid.Create((ulong)random.NextInt64() >> random.Next(63), new Multihash((uint)random.Next(), digest)),
            _ => Cid.Create(random.Next(2) == 0 ? Multicodec.Raw : Multicodec.DagCbor, Multihash.Sha256(digest)),
        };
    }

    private static byte[] RandomDagCbor(Random random)
    {
        var writer = new DagCborWriter();
        Write(depth: 0);
        return writer.ToArray();

        void Write(int depth)
        {
            switch (random.Next(depth > 4 ? 8 : 11))
            {
                case 0: writer.WriteInt64(random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64)); break;
                case 1: writer.WriteUInt64((ulong)random.NextInt64() << 1 >> random.Next(64)); break;
                case 2: writer.WriteBytes(new byte[random.Next(30)]); break;
                case 3: writer.WriteText(Text()); break;
                case 4: writer.WriteCid(RandomCid(random)); break;
                case 5: writer.WriteBoolean(random.Next(2) == 0); break;
                case 6: writer.WriteNull(); break;
                case 7: writer.WriteDouble((random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-300, 300))); break;
                case 8 or 9:
                    int count = random.Next(random.Next(6) == 0 ? 40 : 5);
                    writer.WriteArrayStart(count);
                    for (; count > 0; count--)
                    {
                        Write(depth + 1);
                    }

                    break;
                default:
                    var keys = new SortedSet<string>(Comparer<string>.Create((a, b) => a.Length != b.Length ? a.Length - b.Length : string.CompareOrdinal(a, b)));
                    for (int i = random.Next(5); i > 0; i--)
                    {
                        keys.Add(new string((char)('a' + random.Next(26)), random.Next(4)));
                    }

                    writer.WriteMapStart(keys.Count);
                    foreach (string key in keys)
                    {
                        writer.WriteKey(System.Text.Encoding.UTF8.GetBytes(key));
                        Write(depth + 1);
                    }

                    break;
            }
        }

        string Text() => string.Concat(Enumerable.Range(0, random.Next(30)).Select(_ => random.Next(5) switch { 0 => "é", 1 => "\U0001F600", 2 => "\0", _ => "x" }));
    }

    private static byte[] RandomDagPb(Random random)
    {
        var links = new PbLink[random.Next(5)];
        for (int i = 0; i < links.Length; i++)
        {
            string? name = random.Next(3) == 0 ? null : new string((char)('a' + random.Next(5)), random.Next(4));
            links[i] = new PbLink(RandomCid(random), name, random.Next(3) == 0 ? null : (ulong)random.NextInt64() >> random.Next(63));
        }

        return new PbNode(links, random.Next(2) == 0 ? null : new byte[random.Next(40)]).Encode();
    }
}
