using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Leither.MmDb.Values;
using Xunit;

namespace Leither.MmDb.Tests.Values;

public sealed unsafe class PackTests : IDisposable
{
    private const int Capacity = 1 << 21;
    private readonly byte* _data = (byte*)NativeMemory.Alloc(Capacity);
    private int _length;

    public PackTests() => _length = Pack.Initialize(_data);

    public void Dispose() => NativeMemory.Free(_data);

    [Fact]
    public void A_wiped_entry_takes_what_it_took_and_says_nothing_of_what_it_said()
    {
        byte[] data = new byte[20_000];
        fixed (byte* pack = data)
        {
            object[] values = ["", "a", new string('b', 63), new string('c', 64), new string('d', 5000), 7L, 128L, -5L, 4096L, -40_000L, 1L << 30, long.MinValue];
            int length = Pack.Initialize(pack);
            foreach (object value in values)
            {
                length = Pack.Append(pack, length, value is string text ? new PackValue(System.Text.Encoding.ASCII.GetBytes(text)) : new PackValue((long)value));
            }

            int at = Pack.HeaderSize;
            foreach (object value in values)
            {
                int size = Pack.SizeOf(pack, at);
                Pack.Wipe(pack, at);
                Assert.Equal(size, Pack.SizeOf(pack, at));
                Assert.False(value is long number && Pack.TryGetInteger(pack, at, out long read) && read == number);
                at += size;
            }

            Assert.Equal(length, at);
            Assert.True(Pack.Validate(pack, length));
            Assert.False(data.AsSpan().ContainsAny("abcd"u8));
        }
    }

    [Fact]
    public void An_empty_pack_has_no_entries()
    {
        Assert.Equal(Pack.HeaderSize, _length);
        Assert.Equal(0, Pack.Count(_data, _length));
        Assert.Equal(Pack.None, Pack.First(_data, _length));
        Assert.Equal(Pack.None, Pack.Last(_data, _length));
        Assert.Equal(Pack.None, Pack.At(_data, _length, 0));
        Assert.Equal(Pack.None, Pack.At(_data, _length, -1));
        Assert.Equal(Pack.None, Pack.Find(_data, _length, "a"u8));
        Assert.True(Pack.Validate(_data, _length));
    }

    [Fact]
    public void Integers_at_every_encoding_boundary_read_back_as_the_same_digits()
    {
        long[] edges = [0, 127, 128, 4095, 4096, -1, -4096, -4097, 32767, 32768, -32768, -32769, 8388607, 8388608,
            -8388608, -8388609, int.MaxValue, int.MaxValue + 1L, int.MinValue, int.MinValue - 1L, long.MaxValue, long.MinValue];
        foreach (long edge in edges)
        {
            for (long n = Math.Max(edge, long.MinValue + 2) - 2; n <= Math.Min(edge, long.MaxValue - 3) + 2; n++)
            {
                RoundTrip(n);
            }

            RoundTrip(edge);
        }

        for (long n = -70000; n < 70000; n++)
        {
            RoundTrip(n);
        }
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(127, 2)]
    [InlineData(128, 3)]
    [InlineData(-1, 3)]
    [InlineData(4095, 3)]
    [InlineData(-4096, 3)]
    [InlineData(4096, 4)]
    [InlineData(-4097, 4)]
    [InlineData(32767, 4)]
    [InlineData(32768, 5)]
    [InlineData(8388607, 5)]
    [InlineData(8388608, 6)]
    [InlineData(-8388609, 6)]
    [InlineData(2147483647, 6)]
    [InlineData(2147483648, 10)]
    [InlineData(long.MinValue, 10)]
    public void Integers_take_as_many_bytes_as_in_a_listpack(long value, int size)
    {
        Assert.Equal(size, Pack.EntrySize(value));
        Assert.Equal(size, Pack.EntrySize(Digits(value)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("-0")]
    [InlineData("+1")]
    [InlineData("00")]
    [InlineData("01")]
    [InlineData("-01")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("1.0")]
    [InlineData("1e3")]
    [InlineData("9223372036854775808")]
    [InlineData("-9223372036854775809")]
    [InlineData("18446744073709551615")]
    [InlineData("18446744073709551616")]
    [InlineData("18446744073709551617")]
    [InlineData("99999999999999999999")]
    [InlineData("-9999999999999999999")]
    [InlineData("123456789012345678901")]
    public void Text_that_is_not_a_canonical_integer_stays_a_string(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        _length = Pack.Append(_data, _length, bytes.Span());
        Assert.False(Pack.TryGetInteger(_data, Pack.HeaderSize, out _));
        Assert.Equal(bytes, Read(Pack.HeaderSize));
        Assert.Equal(bytes.Length, Pack.LengthAt(_data, Pack.HeaderSize));
        Assert.Equal(Pack.HeaderSize, Pack.Find(_data, _length, bytes.Span()));
        Assert.True(Pack.Validate(_data, _length));
    }

    [Fact]
    public void Strings_of_lengths_around_every_boundary_are_walked_from_both_ends()
    {
        int[] edges = [0, 63, 64, 125, 127, 128, 4094, 4095, 4096, 16376, 16377, 16378, 16384, 65535];
        List<byte[]> model = [];
        foreach (int edge in edges)
        {
            for (int length = Math.Max(0, edge - 3); length <= edge + 3; length++)
            {
                byte[] bytes = new byte[length];
                bytes.AsSpan().Fill((byte)'x');
                model.Add(bytes);
                int size = Pack.EntrySize(bytes);
                int before = _length;
                _length = Pack.Append(_data, _length, bytes.Span());
                Assert.Equal(size, _length - before);
            }
        }

        AssertSame(model);
    }

    [Fact]
    public void Strings_of_megabytes_have_three_and_four_byte_back_lengths()
    {
        using GuardedMemory memory = new(8 << 20);
        foreach (int length in (int[])[2097151 - 7, 2097151 - 6, 2097151 - 5, 2097151 - 4, 2097152, 5_000_000])
        {
            byte[] bytes = new byte[length];
            PackValue value = new(bytes);
            byte* data = memory.Last(Pack.HeaderSize + value.Size + 2);
            int total = Pack.Append(data, Pack.Initialize(data), value);
            total = Pack.Append(data, total, 7);
            Assert.True(Pack.Validate(data, total));
            Assert.Equal(Pack.HeaderSize, Pack.Previous(data, Pack.Last(data, total)));
        }
    }

    [Fact]
    public void Entries_are_byte_for_byte_those_of_a_listpack()
    {
        Assert.Equal("0001", Entry("0"));
        Assert.Equal("7f01", Entry("127"));
        Assert.Equal("c08002", Entry("128"));
        Assert.Equal("dfff02", Entry("-1"));
        Assert.Equal("f1001003", Entry("4096"));
        Assert.Equal("f200800004", Entry("32768"));
        Assert.Equal("f30000800005", Entry("8388608"));
        Assert.Equal("f40000008000000000" + "09", Entry("2147483648"));
        Assert.Equal("8001" + "", Entry(""));
        Assert.Equal("83616263" + "04", Entry("abc"));
        string longer = new('a', 300);
        Assert.Equal("e12c" + Convert.ToHexStringLower(Encoding.ASCII.GetBytes(longer)) + "02ae", Entry(longer));
        longer = new('a', 4096);
        Assert.Equal("f000100000" + Convert.ToHexStringLower(Encoding.ASCII.GetBytes(longer)) + "2085", Entry(longer));
    }

    [Fact]
    public void Find_with_a_skip_of_one_sees_fields_and_not_values()
    {
        foreach (string text in (string[])["a", "b", "b", "c", "5", "a"])
        {
            _length = Pack.Append(_data, _length, Bytes(text));
        }

        Assert.Equal(Pack.At(_data, _length, 2), Pack.Find(_data, _length, "b"u8, 1));
        Assert.Equal(Pack.At(_data, _length, 1), Pack.Find(_data, _length, "b"u8));
        Assert.Equal(Pack.None, Pack.Find(_data, _length, "c"u8, 1));
        Assert.Equal(Pack.At(_data, _length, 4), Pack.Find(_data, _length, "5"u8, 1));
        Assert.Equal(Pack.At(_data, _length, 5), Pack.Find(_data, _length, Pack.Next(_data, _length, Pack.HeaderSize), "a"u8));
        Assert.True(Pack.EntryEquals(_data, Pack.At(_data, _length, 3), "c"u8));
        Assert.False(Pack.EntryEquals(_data, Pack.At(_data, _length, 3), "d"u8));
    }

    [Fact]
    public void Compare_orders_integers_by_their_digits()
    {
        _length = Pack.Append(_data, _length, 10);
        Assert.True(Pack.Compare(_data, Pack.HeaderSize, "9"u8) < 0);
        Assert.True(Pack.Compare(_data, Pack.HeaderSize, "1"u8) > 0);
        Assert.Equal(0, Pack.Compare(_data, Pack.HeaderSize, "10"u8));
    }

    [Fact]
    public void More_entries_than_the_header_counts_are_counted_by_walking()
    {
        const int Many = 70_000;
        for (int i = 0; i < Many; i++)
        {
            _length = Pack.Append(_data, _length, i & 127);
        }

        Assert.Equal(Many, Pack.Count(_data, _length));
        Assert.True(Pack.Validate(_data, _length));
        Assert.Equal(Pack.Last(_data, _length), Pack.At(_data, _length, Many - 1));
        _length = Pack.DeleteRange(_data, _length, 10, 5000);
        Assert.Equal(Many - 5000, Pack.Count(_data, _length));
        Assert.True(Pack.Validate(_data, _length));
        for (int i = 0; i < 600; i++)
        {
            _length = Pack.Append(_data, _length, 1);
        }

        Assert.Equal(Many - 4400, Pack.Count(_data, _length));
        Assert.True(Pack.Validate(_data, _length));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Random_edits_give_the_same_as_a_list(int seed)
    {
        Random random = new(seed);
        List<byte[]> model = [];
        for (int step = 0; step < 20_000; step++)
        {
            byte[] bytes = RandomValue(random);
            ReadOnlySpan<byte> value = bytes;
            int index = model.Count == 0 ? 0 : random.Next(model.Count);
            int entry = model.Count == 0 ? Pack.None : Pack.At(_data, _length, random.Next(2) == 0 ? index : index - model.Count);
            int expected = _length + Pack.EntrySize(value);
            bool grows = random.Next(100) < (model.Count > 60 ? 30 : 60);
            switch (grows ? random.Next(4) : 4 + random.Next(3))
            {
                case 0:
                    _length = Pack.Append(_data, _length, value);
                    model.Add(bytes);
                    Assert.Equal(expected, _length);
                    break;
                case 1:
                    _length = Pack.Prepend(_data, _length, value);
                    model.Insert(0, bytes);
                    Assert.Equal(expected, _length);
                    break;
                case 2 when entry != Pack.None:
                    _length = Pack.InsertBefore(_data, _length, entry, value);
                    model.Insert(index, bytes);
                    break;
                case 3 when entry != Pack.None:
                    _length = Pack.InsertAfter(_data, _length, entry, value);
                    model.Insert(index + 1, bytes);
                    break;
                case 4 when entry != Pack.None:
                    _length = Pack.Replace(_data, _length, entry, value);
                    model[index] = bytes;
                    break;
                case 5 when entry != Pack.None:
                    _length = Pack.Delete(_data, _length, entry);
                    model.RemoveAt(index);
                    break;
                case 6 when entry != Pack.None:
                    int count = random.Next(5);
                    _length = Pack.DeleteRange(_data, _length, index, count);
                    model.RemoveRange(index, Math.Min(count, model.Count - index));
                    break;
                default:
                    break;
            }

            Assert.Equal(model.Count, Pack.Count(_data, _length));
            if (step % 16 == 0)
            {
                AssertSame(model, $"seed {seed}, step {step}");
            }

            byte[] wanted = model.Count > 0 && random.Next(2) == 0 ? model[index % model.Count] : bytes;
            int found = model.FindIndex(b => b.AsSpan().SequenceEqual(wanted));
            Assert.Equal(found < 0 ? Pack.None : Pack.At(_data, _length, found), Pack.Find(_data, _length, wanted.Span()));
        }
    }

    [Fact]
    public void Split_and_joined_packs_hold_the_same_entries()
    {
        const int Seed = 11;
        Random random = new(Seed);
        byte* left = (byte*)NativeMemory.Alloc(Capacity);
        for (int round = 0; round < 300; round++)
        {
            _length = Pack.Initialize(_data);
            List<byte[]> model = [];
            int count = random.Next(50);
            for (int i = 0; i < count; i++)
            {
                model.Add(RandomValue(random));
                _length = Pack.Append(_data, _length, model[^1].Span());
            }

            int at = random.Next(count + 1);
            int middle = Pack.Skip(_data, Pack.HeaderSize, at);
            int leftLength = Pack.CopyRange(_data, Pack.HeaderSize, middle, at, left);
            _length = Pack.DeleteBytes(_data, _length, Pack.HeaderSize, middle, at);
            AssertSame(model[at..], $"seed {Seed}, round {round}");
            Assert.True(Pack.Validate(left, leftLength));
            leftLength = Pack.AppendAll(left, leftLength, _data, _length);
            Buffer.MemoryCopy(left, _data, Capacity, leftLength);
            _length = leftLength;
            AssertSame(model, $"seed {Seed}, round {round}");
        }

        NativeMemory.Free(left);
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    public void Validate_of_hostile_bytes_never_reads_beyond_them(int seed)
    {
        Random random = new(seed);
        using GuardedMemory memory = new(1 << 16);
        int accepted = 0;
        for (int round = 0; round < 60_000; round++)
        {
            if (round % 50 == 0)
            {
                _length = Pack.Initialize(_data);
                for (int i = random.Next(8); i >= 0; i--)
                {
                    _length = Pack.Append(_data, _length, RandomValue(random, 300).Span());
                }
            }

            int length = random.Next(4) == 0 ? random.Next(_length + 1) : _length;
            byte* hostile = memory.Last(length);
            Buffer.MemoryCopy(_data, hostile, length, length);
            for (int i = random.Next(4); i > 0 && length > 0; i--)
            {
                int at = random.Next(Math.Min(length, random.Next(2) == 0 ? 12 : length));
                hostile[at] = random.Next(3) == 0 ? (byte)random.Next(0xC0, 0x100) : (byte)(hostile[at] ^ (1 << random.Next(8)));
            }

            if (Pack.Validate(hostile, length))
            {
                accepted++;
                WalkEverything(hostile, length);
            }
        }

        Assert.InRange(accepted, 1000, 59_000);
    }

    [Fact]
    public void Validate_refuses_values_that_are_not_in_their_shortest_encoding()
    {
        AssertRefused("0100" + "c00502"); // 5 as 13 bits
        AssertRefused("0100" + "f1050003"); // 5 as 16 bits
        AssertRefused("0100" + "f40500000000000000" + "09"); // 5 as 64 bits
        AssertRefused("0100" + "813502"); // "5" as a string
        AssertRefused("0100" + "e0016103"); // a 12-bit length where 6 bits do
        AssertRefused("0100" + "f0010000006106"); // a 32-bit length where 6 bits do
        AssertRefused("0100" + "0002"); // wrong back length
        AssertRefused("0200" + "0001"); // wrong count
        AssertRefused("ffff" + "0001"); // count said to be unknown, though small
        AssertRefused("00");
        AssertRefused("");
        AssertRefused("0100" + "f0ffffffff61");
        AssertRefused("0100" + "f5016101");
    }

    internal static byte[] RandomValue(Random random, int longest = 5000)
    {
        return random.Next(10) switch
        {
            < 3 => Digits(random.Next(-5, 200)),
            3 => Digits(random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64)),
            < 8 => Text(random.Next(10)),
            8 => Text(random.Next(Math.Min(200, longest))),
            _ => Text(random.Next(8) == 0 ? random.Next(longest) : random.Next(60, 70)),
        };

        byte[] Text(int length)
        {
            byte[] bytes = new byte[length];
            for (int i = 0; i < length; i++)
            {
                bytes[i] = (byte)random.Next('a', 'd');
            }

            return bytes;
        }
    }

    private static byte[] Digits(long value) => Encoding.ASCII.GetBytes(value.ToString(CultureInfo.InvariantCulture));

    private static ReadOnlySpan<byte> Bytes(string text) => Encoding.ASCII.GetBytes(text);

    private static void AssertRefused(string hex)
    {
        byte[] bytes = Convert.FromHexString(hex);
        using GuardedMemory memory = new(bytes.Length + 1);
        bytes.CopyTo(new Span<byte>(memory.Last(bytes.Length), bytes.Length));
        Assert.False(Pack.Validate(memory.Last(bytes.Length), bytes.Length), hex);
    }

    private static void WalkEverything(byte* data, int length)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        int count = 0;
        for (int entry = Pack.First(data, length); entry != Pack.None; entry = Pack.Next(data, length, entry))
        {
            Assert.Equal(Pack.SizeOf(data, entry), Pack.EntrySize(Pack.ToSpan(data, entry, scratch)));
            count++;
        }

        for (int entry = Pack.Last(data, length); entry != Pack.None; entry = Pack.Previous(data, entry))
        {
            count--;
        }

        Assert.Equal(0, count);
        Assert.Equal(Pack.None, Pack.Find(data, length, "no such value"u8));
    }

    private string Entry(string text)
    {
        int length = Pack.Append(_data, Pack.Initialize(_data), Bytes(text));
        return Convert.ToHexStringLower(new ReadOnlySpan<byte>(_data + Pack.HeaderSize, length - Pack.HeaderSize));
    }

    private byte[] Read(int entry)
    {
        Span<byte> scratch = stackalloc byte[PackValue.MaxIntegerDigits];
        return Pack.ToSpan(_data, entry, scratch).ToArray();
    }

    private void RoundTrip(long n)
    {
        byte[] digits = Digits(n);
        _length = Pack.Append(_data, Pack.Initialize(_data), digits.Span());
        Assert.Equal(Pack.HeaderSize + Pack.EntrySize(n), _length);
        Assert.True(Pack.TryGetInteger(_data, Pack.HeaderSize, out long read));
        Assert.Equal(n, read);
        Assert.Equal(digits, Read(Pack.HeaderSize));
        Assert.Equal(digits.Length, Pack.LengthAt(_data, Pack.HeaderSize));
        Assert.Equal(Pack.HeaderSize, Pack.Find(_data, _length, n));
        Assert.True(Pack.Validate(_data, _length));
    }

    private void AssertSame(List<byte[]> model, string context = "")
    {
        Assert.True(Pack.Validate(_data, _length), context);
        Assert.Equal(model.Count, Pack.Count(_data, _length));
        int entry = Pack.First(_data, _length);
        for (int i = 0; i < model.Count; i++, entry = Pack.Next(_data, _length, entry))
        {
            Assert.True(model[i].AsSpan().SequenceEqual(Read(entry)), context);
        }

        Assert.Equal(Pack.None, entry);
        entry = Pack.Last(_data, _length);
        for (int i = model.Count - 1; i >= 0; i--, entry = Pack.Previous(_data, entry))
        {
            Assert.True(model[i].AsSpan().SequenceEqual(Read(entry)), context);
        }

        Assert.Equal(Pack.None, entry);
    }
}

internal static class ByteArrays
{
    public static ReadOnlySpan<byte> Span(this byte[] bytes) => bytes;
}
